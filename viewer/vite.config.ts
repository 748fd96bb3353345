import { defineConfig } from "vitest/config";

// Everything lands in the Python package; the server sends it under a Content-Security-Policy without inline scripts.
export default defineConfig({
  base: "./",
  build: {
    outDir: "../src/skyquilt/apps/web/static",
    emptyOutDir: true,
    rolldownOptions: { checks: { pluginTimings: false } },
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 500,
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  test: { include: ["tests/**/*.test.ts"], setupFiles: ["tests/setup.ts"] },
});
