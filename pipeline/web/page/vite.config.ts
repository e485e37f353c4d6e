// The sources here in; the few files of ../static out, the same bytes each time.
import { defineConfig } from "vite";

const view = "http://127.0.0.1:8000";

export default defineConfig({
  build: {
    outDir: "../static",
    emptyOutDir: true,
    assetsDir: "",
    target: "es2022",
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rollupOptions: {
      output: {
        // plain names: they are served with an ETag and asked for again each time
        entryFileNames: "app.js",
        chunkFileNames: "[name].js",
        assetFileNames: "style[extname]",
        // what isn't ours changes seldom, and so does its file
        codeSplitting: { groups: [{ name: "vendor", test: /node_modules/ }] },
      },
    },
  },
  experimental: {
    // the page is at /, its files are under static/, and a proxy may put both below a path
    renderBuiltUrl: (name, { hostType }) =>
      hostType === "html" ? `static/${name}` : { relative: true },
  },
  server: {
    port: 3000, // the one that the web view allows
    proxy: { "/api": view, "/ws": { target: view, ws: true } },
  },
});
