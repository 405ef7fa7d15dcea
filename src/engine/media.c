#include "engine/media.h"

#include "base/fault.h"

void media_list_done(struct media_list *m)
{
	for (size_t i = 0; i < m->n; i++)
		mem_free(m->v[i].rows);
	m->n = 0;
}
