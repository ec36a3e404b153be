// SPDX-License-Identifier: Apache-2.0
// Imported first by a test that needs the named fault points: what is imported after it starts the programs of build/fault.
process.env.FAULT = '1';
