// Starts what a page has. Every module adds to a page that works without it.
import { start as swap } from "./swap.js";
import { start as keys } from "./keys.js";
import { start as list } from "./list.js";
import { start as palette } from "./palette.js";
import { start as editor } from "./editor.js";
import { start as live } from "./live.js";
import { start as chat } from "./chat.js";

for (const start of [swap, keys, list, palette, editor, live, chat]) start();
