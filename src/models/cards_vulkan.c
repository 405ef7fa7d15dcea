/* Vulkan's devices and their memory, through libvulkan.so.1 where it is. The build needs no Vulkan
 * header for this: the few structures are declared from the specification (1.3), whose layouts are
 * fixed for ever. tests/gpu holds them against a real driver. */
#include "models/cards_vulkan.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum {
	API_1_2 = 1 << 22 | 2 << 12,
	DEVICES_MAX = 16,
	EXTENSIONS_MAX = 1024,
	HEAPS_MAX = 16,
	HEAP_ON_DEVICE = 1,
	INCOMPLETE = 5, /* there are more than asked for: not an error here */
	TYPE_APPLICATION = 0,
	TYPE_INSTANCE = 1,
	TYPE_FEATURES_1_1 = 49,
	TYPE_FEATURES = 1000059000,
	TYPE_PROPERTIES = 1000059001,
	TYPE_MEMORY = 1000059006,
	TYPE_IDS = 1000071004,
	TYPE_BUDGET = 1000237000,
};

struct application {
	int32_t type;
	const void *next;
	const char *name;
	uint32_t version;
	const char *engine;
	uint32_t engine_version, api;
};
struct instance_info {
	int32_t type;
	const void *next;
	uint32_t flags;
	const struct application *application;
	uint32_t n_layers;
	const char *const *layers;
	uint32_t n_extensions;
	const char *const *extensions;
};
struct ids {
	int32_t type;
	void *next;
	uint8_t device[16], driver[16], luid[8];
	uint32_t nodes, has_luid;
};
struct properties {
	int32_t type;
	void *next;
	uint32_t api, driver, vendor, device, kind;
	char name[256];
	uint8_t cache_uuid[16];
	uint64_t limits[128]; /* more than the limits have: only passed over */
};
struct features_1_1 {
	int32_t type;
	void *next;
	uint32_t storage_16, rest[11];
};
struct features {
	int32_t type;
	void *next;
	uint32_t v[55];
};
struct budget {
	int32_t type;
	void *next;
	uint64_t may_use[HEAPS_MAX], used[HEAPS_MAX];
};
struct memory {
	int32_t type;
	void *next;
	uint32_t n_types;
	struct {
		uint32_t flags, heap;
	} kind[32];
	uint32_t n_heaps;
	struct {
		uint64_t size;
		uint32_t flags;
	} heap[HEAPS_MAX];
};
struct extension {
	char name[256];
	uint32_t version;
};

struct vulkan {
	void *instance;
	int (*create)(const struct instance_info *, const void *, void **);
	int (*list)(void *, uint32_t *, void **);
	int (*extensions)(void *, const char *, uint32_t *, struct extension *);
	void (*properties)(void *, struct properties *);
	void (*features)(void *, struct features *);
	void (*memory)(void *, struct memory *);
};

static bool open_vulkan(struct vulkan *v)
{
	void *so = dlopen("libvulkan.so.1", RTLD_NOW);
	const struct {
		const char *name;
		void *at;
	} entries[] = {
		{ "vkCreateInstance", &v->create },
		{ "vkEnumeratePhysicalDevices", &v->list },
		{ "vkEnumerateDeviceExtensionProperties", &v->extensions },
		{ "vkGetPhysicalDeviceProperties2", &v->properties },
		{ "vkGetPhysicalDeviceFeatures2", &v->features },
		{ "vkGetPhysicalDeviceMemoryProperties2", &v->memory },
	};
	for (size_t i = 0; so && i < sizeof entries / sizeof *entries; i++) {
		void *entry = dlsym(so, entries[i].name);
		if (!entry)
			return false;
		memcpy(entries[i].at, &entry, sizeof entry);
	}
	const struct application me = {
		.type = TYPE_APPLICATION, .name = "tresor", .api = API_1_2
	};
	const struct instance_info info = { .type = TYPE_INSTANCE, .application = &me };
	return so && !v->create(&info, NULL, &v->instance);
}

static bool has_extension(const struct vulkan *v, void *device, const char *name)
{
	static struct extension list[EXTENSIONS_MAX]; /* this process does nothing else */
	uint32_t n = EXTENSIONS_MAX;
	int rc = v->extensions(device, NULL, &n, list);
	for (uint32_t i = 0; (!rc || rc == INCOMPLETE) && i < n && i < EXTENSIONS_MAX; i++)
		if (!strncmp(list[i].name, name, sizeof list[i].name))
			return true;
	return false;
}

/* As the engine's module counts: what lies on the device. */
static void ask_memory(const struct vulkan *v, void *device, struct card *c)
{
	struct budget b = { .type = TYPE_BUDGET };
	struct memory m = { .type = TYPE_MEMORY };
	bool knows = has_extension(v, device, "VK_EXT_memory_budget");
	if (knows)
		m.next = &b;
	v->memory(device, &m);
	for (uint32_t i = 0; i < m.n_heaps && i < HEAPS_MAX; i++) {
		if (!(m.heap[i].flags & HEAP_ON_DEVICE))
			continue;
		c->total += m.heap[i].size;
		if (!knows)
			c->free_bytes += m.heap[i].size;
		else if (b.may_use[i] > b.used[i])
			c->free_bytes += b.may_use[i] - b.used[i];
	}
}

static void ask_device(const struct vulkan *v, void *device, uint32_t place, struct card_found *f)
{
	struct ids ids = { .type = TYPE_IDS };
	struct properties p = { .type = TYPE_PROPERTIES, .next = &ids };
	struct features_1_1 f11 = { .type = TYPE_FEATURES_1_1 };
	struct features all = { .type = TYPE_FEATURES, .next = &f11 };
	v->properties(device, &p);
	v->features(device, &all);
	*f = (struct card_found){ .kind = p.kind, .usable = f11.storage_16 && p.api >= API_1_2 };
	memcpy(f->uuid, ids.device, sizeof f->uuid);
	(void)snprintf(f->card.id, sizeof f->card.id, "vulkan:%u", place);
	(void)snprintf(f->card.name, sizeof f->card.name, "%.95s", p.name);
	ask_memory(v, device, &f->card);
}

void cards_ask_vulkan(struct cards_found *r)
{
	struct vulkan v = { 0 };
	void *device[DEVICES_MAX];
	uint32_t n = DEVICES_MAX;
	if (!open_vulkan(&v))
		return;
	int rc = v.list(v.instance, &n, device);
	if (rc && rc != INCOMPLETE)
		return;
	for (uint32_t i = 0; i < n && r->n < CARDS_FOUND_MAX; i++)
		ask_device(&v, device[i], i, &r->v[r->n++]);
}
