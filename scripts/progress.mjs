/** Interval of the lines that say how far an action is; each replaces the one before in a terminal. */
const INTERVAL_MS = process.stderr.isTTY ? 500 : 4_000;

/**
 * Runs a part of the set-up; reports on stderr its progress and duration.
 * @template T
 * @param {string} name
 * @param {(log: (line: string, isReplaced?: boolean) => void) => T | Promise<T>} run
 * @returns {Promise<T>}
 */
export async function inPhase(name, run) {
  const started = performance.now();
  const [begin, open] = process.stderr.isTTY ? ['\r\x1b[K', ''] : ['', '\n'];
  const log = (line, isReplaced = false) =>
    process.stderr.write(`${begin}[${name}] ${line}${isReplaced ? open : '\n'}`);
  const result = await run(log);
  log(`${((performance.now() - started) / 1000).toFixed(1)} s`);
  return result;
}

/**
 * Logs the progress of an action at intervals.
 * @template T
 * @param {(line: string, isReplaced?: boolean) => void} log
 * @param {() => string} describe
 * @param {() => Promise<T>} action
 * @returns {Promise<T>}
 */
export async function withProgress(log, describe, action) {
  const started = performance.now();
  let line = '';
  const timer = setInterval(() => {
    line = `${describe()}, ${((performance.now() - started) / 1000).toFixed(0)} s`;
    log(line, true);
  }, INTERVAL_MS);
  try {
    return await action();
  } finally {
    clearInterval(timer);
    // In a terminal the last line is still open.
    if (process.stderr.isTTY && line !== '') log(line);
  }
}
