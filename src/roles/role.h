/* roles/role.h - what runs after the keeper executed us anew as `tresor role NAME`. */
#pragma once

int role_run(const char *name); /* returns the exit status */
