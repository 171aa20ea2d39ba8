// Builds the image that the container tests run. .ci/run starts with this, so that the image is ready when they begin.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { BASE_IMAGE, makeBaseImage } from './base-image.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
export const TEST_IMAGE = 'locmoe:test';
const PUBLIC_BASE = 'node:26-trixie-slim';
const TIMEOUT_MS = 600_000;

/**
 * Builds TEST_IMAGE from the working tree, on the public base image if it can be pulled, else on one that is made here.
 * @param {(line: string) => void} log
 * @throws {Error} with the output of the build that failed
 */
export async function buildTestImage(log) {
  const ca = process.env.NODE_EXTRA_CA_CERTS;
  const secret = ca !== undefined && existsSync(ca) ? ['--secret', `id=ca,src=${ca}`] : [];
  const base = `BASE_IMAGE=${await baseImage(log)}`;
  const earlier = await idOf(TEST_IMAGE);
  await docker('build', '--quiet', '--tag', TEST_IMAGE, '--build-arg', base, ...secret, '.');
  if (earlier !== null && earlier !== (await idOf(TEST_IMAGE)))
    await docker('image', 'rm', earlier).catch(() => undefined);
}

async function baseImage(log) {
  if (process.env.BASE_IMAGE !== undefined) return process.env.BASE_IMAGE;
  if ((await idOf(BASE_IMAGE)) !== null) return BASE_IMAGE;
  return docker('pull', PUBLIC_BASE).then(
    () => PUBLIC_BASE,
    () => makeBaseImage(log),
  );
}

async function idOf(image) {
  const found = docker('image', 'inspect', '--format', '{{.Id}}', image);
  return found.catch(() => null);
}

async function docker(...args) {
  const { stdout } = await promisify(execFile)('docker', args, { cwd: ROOT, timeout: TIMEOUT_MS });
  return stdout.trim();
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    await buildTestImage((line) => console.error(`[test image] ${line}`));
  } catch (error) {
    console.error(`[test image] ${error.message}`);
    process.exitCode = 2;
  }
