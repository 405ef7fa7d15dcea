/* roles/version.h - which build this is; TRESOR_VERSION comes from meson.build. */
#pragma once

#define TRESOR_BUILD TRESOR_VERSION "+" __DATE__
