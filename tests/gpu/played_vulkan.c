/* libvulkan.so.1 as src/models/cards_vulkan.c asks it, for cards_probe_test. PLAYED_VULKAN says
 * what it is like. Written by the offsets of the specification's structures (64 bits), not by their
 * declarations there: so each is held against the other. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int vkCreateInstance(const void *info, const void *allocator, void **ret);
int vkEnumeratePhysicalDevices(void *instance, uint32_t *n, void **ret);
int vkEnumerateDeviceExtensionProperties(
	void *device, const char *layer, uint32_t *n, char *ret);
void vkGetPhysicalDeviceProperties2(void *device, char *ret);
void vkGetPhysicalDeviceFeatures2(void *device, char *ret);
void vkGetPhysicalDeviceMemoryProperties2(void *device, char *ret);

static int is(const char *what)
{
	const char *how = getenv("PLAYED_VULKAN");
	return how && !strcmp(how, what);
}

static void put(char *at, uint32_t v)
{
	memcpy(at, &v, sizeof v);
}

static void put_long(char *at, uint64_t v)
{
	memcpy(at, &v, sizeof v);
}

static void put_text(char *at, const char *text)
{
	memcpy(at, text, strlen(text) + 1);
}

/* The structure behind this one, if it is of that type. */
static char *next(char *s, uint32_t type)
{
	char *n;
	memcpy(&n, s + 8, sizeof n);
	return n && !memcmp(n, &type, sizeof type) ? n : NULL;
}

static char devices[64]; /* a byte stands for each */

static unsigned place(void *device)
{
	return (unsigned)((char *)device - devices);
}

int vkCreateInstance(const void *info, const void *allocator, void **ret)
{
	(void)info, (void)allocator;
	if (is("hangs"))
		for (;;)
			(void)pause();
	if (is("dies"))
		abort();
	*ret = devices;
	return is("fails") ? -9 : 0;
}

int vkEnumeratePhysicalDevices(void *instance, uint32_t *n, void **ret)
{
	uint32_t have = is("many") ? 40 : 3, room = *n;
	(void)instance;
	*n = have < room ? have : room;
	for (uint32_t i = 0; i < *n; i++)
		ret[i] = &devices[i];
	return have > room ? 5 : 0;
}

int vkEnumerateDeviceExtensionProperties(void *device, const char *layer, uint32_t *n, char *ret)
{
	(void)layer;
	memset(ret, 0, 260);
	put_text(ret, place(device) == 0 ? "VK_EXT_memory_budget" : "VK_EXT_other");
	*n = 1;
	return 0;
}

/* 24 GiB with a budget, 8 GiB without one, and the processor. */
void vkGetPhysicalDeviceProperties2(void *device, char *ret)
{
	static const uint32_t kinds[] = { 2, 2, 4 };
	unsigned i = place(device);
	char *ids = next(ret, 1000071004);
	put(ret + 16, 1u << 22 | 3u << 12);
	put(ret + 32, is("many") ? 2 : kinds[i]);
	memset(ret + 36, is("lies") ? 'a' : 0, 256);
	if (!is("lies"))
		put_text(ret + 36, i == 0 ? "Large" : i == 1 ? "Small" : "Soft");
	memset(ids + 16, (int)i + 1, 16);
}

void vkGetPhysicalDeviceFeatures2(void *device, char *ret)
{
	(void)device;
	put(next(ret, 49) + 16, 1);
}

void vkGetPhysicalDeviceMemoryProperties2(void *device, char *ret)
{
	const uint64_t gib = 1 << 30;
	char *budget = next(ret, 1000237000);
	put(ret + 276, is("lies") ? 4000 : 2);
	put_long(ret + 280, (place(device) ? 8 : 24) * gib);
	put(ret + 288, 1);
	put_long(ret + 296, 64 * gib); /* of the machine */
	put(ret + 304, 0);
	if (budget) {
		put_long(budget + 16, 20 * gib);
		put_long(budget + 144, 4 * gib);
	}
}
