// SPDX-License-Identifier: Apache-2.0
// Builds the page into build/console/ of the checkout; the edge serves it from there.
import { defineConfig } from 'vite';

export default defineConfig({
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: { outDir: process.env.CONSOLE_OUT ?? '../../build/console', emptyOutDir: true, target: 'es2022', modulePreload: false },
});
