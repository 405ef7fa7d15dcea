/* VK_EXT_layer_settings for Vulkan headers older than 1.3.272 (Debian 12 has 1.3.239): ggml-vulkan
 * names its types always, though the layer that they speak to is switched on for debugging alone. The
 * layout is the extension's specification. */
#pragma once

#include <cstdint>
#include <vector>
#include <vulkan/vulkan_core.h>

#ifndef VK_EXT_layer_settings
namespace vk
{
enum class LayerSettingTypeEXT : int32_t { eBool32 = 0 };

struct LayerSettingEXT {
	const char *layer, *setting;
	LayerSettingTypeEXT type;
	uint32_t count;
	const void *values;
};

struct LayerSettingsCreateInfoEXT {
	int32_t type = 1000496000;
	const void *next = nullptr;
	uint32_t count = 0;
	const LayerSettingEXT *list = nullptr;

	explicit LayerSettingsCreateInfoEXT(const std::vector<LayerSettingEXT> &v)
		: count((uint32_t)v.size()), list(v.data())
	{
	}
};
} // namespace vk
#endif
