# Read right after llama.cpp's project(): once all its targets exist, makes llama-common cheap to
# compile. Its code (templates, chat parsers, arguments) is not hot, so -O1 is enough, and a
# precompiled header saves each of its 60 files the same 10 s of headers: a third of the build.
set(TRESOR_FASTER "${CMAKE_CURRENT_LIST_DIR}/faster_targets.cmake")
cmake_language(EVAL CODE "cmake_language(DEFER CALL include [[${TRESOR_FASTER}]])")
set(TRESOR_VULKAN "${CMAKE_CURRENT_LIST_DIR}/vulkan_targets.cmake")
cmake_language(EVAL CODE "cmake_language(DEFER CALL include [[${TRESOR_VULKAN}]])")
