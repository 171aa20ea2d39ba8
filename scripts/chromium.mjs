// Chromium for the page tests. `install` gets it with apt-get, which needs root on Debian and is done only on request.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { aptInstall, whyNotInstallable } from './apt-install.mjs';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
/** Packages of the browser and of fonts. */
const PACKAGES = ['chromium', 'fonts-liberation'];
const log = (line) => console.error(`[chromium] ${line}`);

/**
 * Finds the Chromium of this machine, or that of CHROMIUM in the environment; null if there is none.
 * @returns {string | null}
 */
export function chromiumPath() {
  return [process.env.CHROMIUM, ...PLACES].find((place) => place && existsSync(place)) ?? null;
}

function install() {
  if (chromiumPath() !== null) return;
  const reason = whyNotInstallable();
  if (reason !== null) throw new Error(`no Chromium here, and none can be installed: ${reason}`);
  aptInstall(PACKAGES, log);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  try {
    install();
    log(chromiumPath());
  } catch (error) {
    log(error.message);
    process.exitCode = 2;
  }
