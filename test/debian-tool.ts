import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of unpacked tools, kept from one test run to the next. */
const TOOLS = fileURLToPath(new URL('../node_modules/.cache/locmoe-tools', import.meta.url));
const TIMEOUT_MS = 120_000;

/**
 * A command, from PATH or unpacked from a Debian package without installing it; null if neither is there.
 *
 * @param packages tried in order: releases of Debian differ in what they put where
 */
export function debianTool(command: string, packages: readonly string[]): string | null {
  if (spawnSync(command, ['--help'], { stdio: 'ignore' }).error === undefined) return command;
  const unpacked = path.join(TOOLS, 'usr/bin', command);
  mkdirSync(TOOLS, { recursive: true });
  for (const name of packages) {
    if (existsSync(unpacked)) break;
    const get = `apt-get download ${name}`;
    const unpack = `dpkg --extract ${name}_*.deb . && rm ${name}_*.deb`;
    const script = `test -e usr/bin/${command} || { (${get} || { apt-get update && ${get}; }) && ${unpack}; }`;
    // flock serializes the processes: apt-get update does not wait for another one, and test files run in parallel.
    spawnSync('flock', ['lock', 'sh', '-c', script], { cwd: TOOLS, stdio: 'ignore', timeout: TIMEOUT_MS });
  }
  return existsSync(unpacked) ? unpacked : null;
}

/** Prometheus' checker of configuration, rules and metrics. */
export function findPromtool(): string | null {
  return debianTool('promtool', ['promtool', 'prometheus']);
}

/** Skips a test so that nobody overlooks it. */
export function skipLoudly(skip: (note: string) => never, reason: string): never {
  console.warn(`SKIPPED: ${reason}`);
  return skip(reason);
}

export const NO_PROMTOOL = 'no promtool, and no Debian package of it';
