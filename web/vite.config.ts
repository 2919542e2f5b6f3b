// The page must work under a policy without any `unsafe-*`: nothing inline, no data: addresses, no module-preload helper.
// File names carry a digest, so that the same sources give the same files.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: "../src/safelight/review/page",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2023",
    cssCodeSplit: false,
    sourcemap: false,
    reportCompressedSize: false,
  },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
