// Installs the Debian packages that tests need, such as a browser or a container engine. This takes root on
// Debian and is done only on request.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const TIMEOUT_MS = 600_000;

/** Says why nothing can be installed here; null if packages can be installed. @returns {string | null} */
export function whyNotInstallable() {
  if (process.platform !== 'linux') return `this is ${process.platform}, not Linux`;
  if (process.getuid() !== 0) return 'not root';
  if (!existsSync('/etc/debian_version')) return 'not Debian';
  return null;
}

/**
 * @param {readonly string[]} packages
 * @param {(line: string) => void} log
 * @throws {Error} if apt-get fails
 */
export function aptInstall(packages, log) {
  log(`installing ${packages.join(' ')} with apt-get`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const options = { env, encoding: 'utf8', timeout: TIMEOUT_MS };
  spawnSync('apt-get', ['update', '-q'], options);
  const install = ['install', '-y', '-q', '--no-install-recommends', ...packages];
  const { status, stderr, error } = spawnSync('apt-get', install, options);
  if (status !== 0)
    throw new Error(`apt-get ${install.join(' ')} failed: ${stderr?.trim().split('\n')[0] ?? error}`);
}
