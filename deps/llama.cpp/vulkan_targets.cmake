# See vulkan_headers.hpp; read like faster_targets.cmake.
if(TARGET ggml-vulkan)
	target_compile_options(ggml-vulkan PRIVATE -include "${CMAKE_CURRENT_LIST_DIR}/vulkan_headers.hpp")
endif()
