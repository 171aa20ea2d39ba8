// Chromium for the page tests. `install` gets it with apt-get, which needs root on Debian and never happens
// unasked.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
/** The browser and fonts. */
const PACKAGES = ['chromium', 'fonts-liberation'];
const INSTALL_TIMEOUT_MS = 600_000;

/**
 * The Chromium of this machine, or of CHROMIUM in the environment; null if there is none.
 * @returns {string | null}
 */
export function chromiumPath() {
  return [process.env.CHROMIUM, ...PLACES].find((place) => place && existsSync(place)) ?? null;
}

/** Why no Chromium can be installed here, or null if it can. @returns {string | null} */
function whyNotInstallable() {
  if (process.platform !== 'linux') return `this is ${process.platform}, not Linux`;
  if (process.getuid() !== 0) return 'not root';
  if (!existsSync('/etc/debian_version')) return 'not Debian';
  return null;
}

function install() {
  if (chromiumPath() !== null) return;
  const reason = whyNotInstallable();
  if (reason !== null) throw new Error(`no Chromium here, and none can be installed: ${reason}`);
  console.error(`[chromium] installing ${PACKAGES.join(' ')} with apt-get`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const options = { env, encoding: 'utf8', timeout: INSTALL_TIMEOUT_MS };
  spawnSync('apt-get', ['update', '-q'], options);
  const apt = spawnSync('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...PACKAGES], options);
  if (apt.status !== 0)
    throw new Error(`apt-get could not install Chromium: ${apt.stderr?.trim().split('\n')[0] ?? apt.error}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    install();
    console.error(`[chromium] ${chromiumPath()}`);
  } catch (error) {
    console.error(`[chromium] ${error.message}`);
    process.exitCode = 2;
  }
