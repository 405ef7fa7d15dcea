#include "proto/cards.h"

#include <stdlib.h>

#include "tests/test.h"

TEST(an_id_names_its_api_and_nothing_else_is_an_id)
{
	struct str rest;
	CHECK_EQ_INT(card_api_of(STR("vulkan:12"), &rest), CARD_VULKAN);
	CHECK_EQ_STR(rest, STR("12"));
	CHECK_EQ_INT(card_api_of(STR("cuda:GPU-0a1b2c3d-0000-1111-2222-333344445555"), &rest),
		CARD_CUDA);
	CHECK_EQ_STR(rest, STR("GPU-0a1b2c3d-0000-1111-2222-333344445555"));
	static const char *const bad[] = { "", "vulkan", "vulkan:", "vulkan:1,2", "vulkan:-1",
		"vulkan:1000", "cuda:", "cuda:GPU 1", "cuda:GPU-1,GPU-2", "rocm:0", ":0",
		"cuda:GPU-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_EQ_INT(card_api_of(str_from(bad[i]), NULL), CARD_NONE);
}

TEST(a_model_sees_its_cards_in_their_order_and_no_other)
{
	const struct card_use two[] = { { "vulkan:2", 500 }, { "vulkan:0", 500 } };
	CHECK_OK(cards_show(two, 2));
	CHECK_EQ_Z(getenv("GGML_VK_VISIBLE_DEVICES"), "2,0");
	CHECK_EQ_Z(getenv("CUDA_VISIBLE_DEVICES"), "");
	CHECK(!getenv("GGML_DISABLE_VULKAN"));
	CHECK_EQ_Z(getenv("MESA_SHADER_CACHE_DISABLE"), "true");
	CHECK_OK(cards_show(&(struct card_use){ "cuda:GPU-1", 1000 }, 1));
	CHECK_EQ_Z(getenv("CUDA_VISIBLE_DEVICES"), "GPU-1");
	CHECK_EQ_Z(getenv("GGML_VK_VISIBLE_DEVICES"), "");
	CHECK_EQ_Z(getenv("GGML_DISABLE_VULKAN"), "1");
	CHECK_OK(cards_show(NULL, 0)); /* on the processor: none at all */
	CHECK_EQ_Z(getenv("CUDA_VISIBLE_DEVICES"), "");
	CHECK_EQ_Z(getenv("GGML_DISABLE_VULKAN"), "1");
}

TEST(cards_of_two_apis_are_no_list)
{
	const struct card_use mixed[] = { { "vulkan:0", 500 }, { "cuda:GPU-1", 500 } };
	CHECK_EQ_INT(cards_show(mixed, 2), ERR_INVALID);
	CHECK_EQ_INT(cards_show(&(struct card_use){ "x", 1 }, 1), ERR_INVALID);
}
