// WebGPU, through which a graphics card computes (`train.device: webgpu`): Dawn's bindings for Node, the npm package
// `webgpu`. It is fetched only on request, and is no dependency, as it brings the binaries of all platforms (132 MB);
// this platform's goes into webgpu/ of this package, or of the user's cache.
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { aptInstall, whyNotInstallable } from './apt-install.mjs';
import { inPhase } from './progress.mjs';
import { runNpm } from './run-npm.mjs';
import { makeSetUpFolder, setUpFolder } from './set-up-folder.mjs';
import { inWorkFolder } from './work-folder.mjs';

const PINNED = {
  version: '0.6.2',
  integrity:
    'sha512-3L4GfmqJLvYUIEWJngEQY+2HQiUlAFkg8+P8NDDj3Xx5hHHIFO/r8JW+ynfqBj7kHN4mbnwO74uB+lrRtLhp4Q==',
  megabytes: 51,
};
const PLATFORMS = ['linux-x64', 'linux-arm64'];
const LIBRARY = 'dawn.node';
const PART = `webgpu/${PINNED.version}`;
const OWN_FOLDER = setUpFolder(PART, LIBRARY);
const TIMEOUT_MS = 600_000;
/** Where Vulkan drivers are registered, each by a file. */
const VULKAN_DRIVERS = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d'];

/**
 * Lists the files by which drivers for Vulkan are found on this machine.
 * @returns {string[]} their names
 */
export function vulkanDrivers() {
  return VULKAN_DRIVERS.filter(existsSync).flatMap((folder) => readdirSync(folder));
}

/**
 * Finds the library: LOCMOE_WEBGPU, or the one that `fetchWebGpu` fetched.
 * @returns {string | null} its path
 */
export function findWebGpu() {
  if (process.env.LOCMOE_WEBGPU) return process.env.LOCMOE_WEBGPU;
  const file = path.join(OWN_FOLDER, LIBRARY);
  return existsSync(file) ? file : null;
}

/**
 * Fetches the library if there is none. Logs the reason if it cannot; never throws.
 * @param {(line: string) => void} log
 */
export async function setupWebGpu(log) {
  const found = findWebGpu();
  if (found !== null) return log(`found: ${found}`);
  try {
    await fetchWebGpu(log);
    log(`installed: ${findWebGpu()}`);
  } catch (error) {
    log(`not installed: ${error.message}`);
  }
}

/**
 * Fetches the library and its licence into their folder, whether or not there is one.
 * @param {(line: string) => void} log
 * @throws {Error} if the library cannot be fetched; the message says what to do
 */
export async function fetchWebGpu(log) {
  const binaries = `${process.platform}-${process.arch}`;
  if (!PLATFORMS.includes(binaries))
    throw new Error(`webgpu has no library for ${binaries}; build Dawn's and name its file in LOCMOE_WEBGPU`);
  makeSetUpFolder(PART, OWN_FOLDER);
  await inWorkFolder(OWN_FOLDER, async (work, interruption) => {
    log(`fetching webgpu@${PINNED.version} (${PINNED.megabytes} MB) from the npm registry`);
    await installPinned(work, interruption, log);
    const unpacked = path.join(work, 'node_modules/webgpu');
    // Each file appears complete or not at all, the library last, as it marks a finished set-up.
    for (const name of ['LICENSE.md', `dist/${binaries}/${LIBRARY}`])
      await rename(path.join(unpacked, name), path.join(OWN_FOLDER, path.basename(name)));
  });
}

/** Installs the package alone: what it depends on are types, and a tool of its own tests. */
async function installPinned(work, signal, log) {
  const { version, integrity, megabytes } = PINNED;
  const root = { dependencies: { webgpu: version } };
  // npm refuses a package whose hash is not the one in the lock file.
  const lock = { lockfileVersion: 3, packages: { '': root, 'node_modules/webgpu': { version, integrity } } };
  writeFileSync(path.join(work, 'package.json'), JSON.stringify(root));
  writeFileSync(path.join(work, 'package-lock.json'), JSON.stringify(lock));
  // npm uses a separate cache here, as its own would keep the archive for good.
  const cache = path.join(work, 'npm');
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', '--cache', cache];
  const why = await runNpm(args, { cwd: work, timeoutMs: TIMEOUT_MS, megabytes, signal }, log);
  if (why !== null)
    throw new Error(
      `npm could not fetch webgpu@${version} (${why}); check the npm registry and run the set-up again`,
    );
}

/** Installs a Vulkan driver that computes on the processor, if this machine has no driver. */
function setupSoftwareVulkan(log) {
  const drivers = vulkanDrivers();
  if (drivers.length > 0) return log(`found: ${drivers.join(', ')}`);
  const reason = whyNotInstallable();
  if (reason !== null) throw new Error(`no Vulkan driver here, and none can be installed: ${reason}`);
  aptInstall(['mesa-vulkan-drivers'], log);
}

async function main() {
  await inPhase('webgpu', setupWebGpu);
  if (findWebGpu() === null) process.exitCode = 2;
  if (process.argv.includes('--with-software-vulkan')) await inPhase('vulkan', setupSoftwareVulkan);
}

// No top-level `await`: routers loaded by `require` may load `locmoe/routing`, and with it this module.
if (process.argv[1] === fileURLToPath(import.meta.url))
  main().catch((error) => {
    console.error(`set-up failed: ${error.message}`);
    process.exitCode = 2;
  });
