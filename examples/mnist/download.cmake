# cmake -DFOLDER=DIR -P download.cmake: the four files of MNIST, unpacked, in DIR. Fails where none of the mirrors
# answers within seconds. A file gets its name only when it is whole, so an interrupted download leaves nothing.
set(mirrors https://ossci-datasets.s3.amazonaws.com/mnist https://storage.googleapis.com/cvdf-datasets/mnist)
set(files  # the smallest first: it tells whether there is a network
  t10k-labels-idx1-ubyte=ec29112dd5afa0611ce80d1b7f02629c
  t10k-images-idx3-ubyte=9fb629c4189551a2d022fa330f9573f3
  train-labels-idx1-ubyte=d53e105ee54ea40749a09fcbcd1e9432
  train-images-idx3-ubyte=f68b3c2dcbeaaa9fbdd348bbdeb94873)

find_program(gzip gzip)
string(RANDOM LENGTH 8 unique)  # two programs may download at once
set(part ${FOLDER}/.${unique})

function(download file md5)
  foreach(mirror IN LISTS mirrors)
    # Without an answer within 4 s it is given up; what flows may take its time.
    set(limits INACTIVITY_TIMEOUT 4)
    if(file MATCHES t10k-labels)
      list(APPEND limits TIMEOUT 4)
    endif()
    file(DOWNLOAD ${mirror}/${file}.gz ${part}/${file}.gz ${limits} STATUS status)
    file(MD5 ${part}/${file}.gz got)
    if(got STREQUAL md5)
      if(gzip)  # else the reader unpacks, with zlib
        execute_process(COMMAND ${gzip} -d ${part}/${file}.gz COMMAND_ERROR_IS_FATAL ANY)
        file(RENAME ${part}/${file} ${FOLDER}/${file})
      else()
        file(RENAME ${part}/${file}.gz ${FOLDER}/${file}.gz)
      endif()
      return()
    endif()
  endforeach()
  file(REMOVE_RECURSE ${part})
  list(GET status 1 reason)
  message(STATUS "no mirror gave ${file}.gz with the right checksum (${reason})")
  message(FATAL_ERROR "MNIST could not be downloaded")  # the way for a script to say so to its caller
endfunction()

message(STATUS "looking for MNIST on the network, to keep in ${FOLDER}")
foreach(file IN LISTS files)
  string(REPLACE "=" ";" file ${file})
  list(GET file 0 name)
  if(NOT EXISTS ${FOLDER}/${name} AND NOT EXISTS ${FOLDER}/${name}.gz)
    download(${file})
  endif()
endforeach()
file(REMOVE_RECURSE ${part})
