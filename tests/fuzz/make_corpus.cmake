# cmake -DSOURCES=tests/golden/sources -DCORPUS=FOLDER -P make_corpus.cmake: one folder of seeds per fuzzer.
# Copies, so that a run, which adds files and may remove some, never touches the goldens.
function(seeds name)
  file(MAKE_DIRECTORY ${CORPUS}/${name})
  foreach(file IN LISTS ARGN)
    file(RELATIVE_PATH flat ${SOURCES} ${file})
    string(REPLACE "/" "_" flat ${flat})
    file(COPY_FILE ${file} ${CORPUS}/${name}/${flat} ONLY_IF_DIFFERENT)
  endforeach()
endfunction()

file(GLOB_RECURSE safetensors ${SOURCES}/*.safetensors)
file(GLOB_RECURSE gguf ${SOURCES}/*.gguf)
file(GLOB_RECURSE index ${SOURCES}/*.index.json)
seeds(safetensors_header ${safetensors})
seeds(gguf_header ${gguf})
seeds(safetensors_index ${index})
