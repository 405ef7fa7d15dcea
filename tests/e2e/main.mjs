import { count } from "./lib.mjs";

const which = process.env.E2E ?? "page program";
let failed = 0;
if (which.includes("page")) failed += await (await import("./page.mjs")).run();
if (which.includes("program")) failed += await (await import("./program.mjs")).run();
console.log(`1..${count()}`);
process.exit(failed > 0 ? 1 : 0);
