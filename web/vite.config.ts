import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";
import { darkForSystem } from "./postcss-dark.ts";
import type { Plugin } from "vite";

/* The theme must be known before the first paint, and the page allows no inline script: so a tiny
 * classic script, hashed like every other asset, stands in the head and blocks. */
function bootScript(): Plugin {
	const source = readFileSync(new URL("./src/boot.js", import.meta.url), "utf8");
	const name = `assets/boot-${createHash("sha256").update(source).digest("hex").slice(0, 8)}.js`;
	return {
		name: "tresor-boot",
		apply: "build",
		generateBundle() {
			this.emitFile({ type: "asset", fileName: name, source });
		},
		transformIndexHtml: {
			order: "post",
			handler: () => [{ tag: "script", attrs: { src: `/${name}` }, injectTo: "head-prepend" }],
		},
	};
}

const server = process.env["TRESOR_URL"] ?? "http://127.0.0.1:7070";

export default defineConfig({
	plugins: [svelte(), bootScript()],
	css: { postcss: { plugins: [darkForSystem()] } },
	build: {
		target: "es2022",
		assetsInlineLimit: 0,
		modulePreload: { polyfill: false },
		sourcemap: false,
		reportCompressedSize: false,
	},
	worker: { format: "es" },
	server: { proxy: { "/team": server, "/healthz": server } },
	test: {
		environment: "jsdom",
		include: ["src/**/*.test.ts"],
		testTimeout: 30_000,
	},
});
