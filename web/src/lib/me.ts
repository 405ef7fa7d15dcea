import type { Calls } from "../gen/api";
import { call } from "./client";
import { session } from "./state/session.svelte";
import { ui } from "./state/ui.svelte";

/* Saves a part of one's profile; false when it did not work (said already). */
export async function changeMe(body: Calls["team_me_change"]["body"]): Promise<boolean> {
	try {
		session.take(await call("team_me_change", { body }), false);
		return true;
	} catch (e) {
		ui.fail(e);
		return false;
	}
}
