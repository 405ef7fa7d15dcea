# See faster.cmake.
foreach(target llama-common llama-common-base cpp-httplib)
	if(TARGET ${target})
		target_compile_options(${target} PRIVATE -O1)
	endif()
endforeach()
target_precompile_headers(llama-common PRIVATE <algorithm> <fstream> <functional> <map> <memory>
	<regex> <set> <sstream> <string> <unordered_map> <vector>
	"${CMAKE_CURRENT_SOURCE_DIR}/common/json.h" "${CMAKE_CURRENT_SOURCE_DIR}/common/common.h"
	"${CMAKE_CURRENT_SOURCE_DIR}/common/chat.h")
