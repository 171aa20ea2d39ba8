import { existsSync } from 'node:fs';
import { parseRecord } from '@locmoe/logs';
import type { OpenRun, RunView } from '../coordinator/run-view.js';
import { printable, wrapped } from '../format.js';
import { fromHere, locmoeCommand } from '../os/command-line.js';
import { failureLines } from './failure-lines.js';
import { accountLine } from './generation-lines.js';
import { screenOf } from './progress-line.js';
import { ProgressView } from './progress-view.js';
import { lineView, restartLine, type ViewOptions, validationLine } from './run-lines.js';
import { summarize } from './run-summary.js';
import { TimeEstimate } from './time-estimate.js';

/** Matches the beginning of a pino line of any level but warn, so that most lines need no parsing. */
const NO_WARNING = /^\{"level":"(?:trace|debug|info|error|fatal)","time":\d/;

/** Shows a run to a person: progress and warnings, at the end its summary or why it failed. */
export function terminalView(run: OpenRun, options: ViewOptions): RunView {
  const time = new TimeEstimate(run.identity.config.train.earlyStop !== null);
  const progress = new ProgressView(screenOf(process.stdout), run.totals);
  const print = (line: string) => progress.print(line);
  const shown = new Set<string>();
  // Each warning is printed once; the error that ends a run is printed at its end.
  const removeListener = run.logs.onAppend((line) => {
    if (NO_WARNING.test(line)) return;
    const { level, msg } = parseRecord(line) ?? { level: 'warn', msg: line };
    if (level !== 'warn' || shown.has(msg)) return;
    shown.add(msg);
    print(`warning: ${printable(msg)}`);
  });
  return {
    ...lineView(run, options, print),
    step(step, snapshot) {
      progress.step(step, snapshot);
      const estimate = time.line(step, snapshot);
      if (estimate !== null) print(estimate);
    },
    validation: (report) => print(validationLine(report, options.dataset)),
    membership: print,
    restarts(report, restartsLeft) {
      print(restartLine(report, restartsLeft));
      progress.pause('restarting');
    },
    recovered: (account) => print(`recovered: ${accountLine(account)}`),
    failed({ report }) {
      progress.close();
      const place = fromHere(run.folder.directory);
      console.error(`locmoe: ${failureLines(report, process.stderr.columns).join('\n')}`);
      if (existsSync(run.folder.flight)) console.error(`  who lagged: ${locmoeCommand(['flight', place])}`);
      console.error(`  look: ${locmoeCommand(['inspect', '--run', place])}`);
    },
    async finished({ stopped }) {
      progress.close();
      const show = (text: string) =>
        process.stdout.write(`${text.split('\n').map(wrappedProse).join('\n')}\n`);
      await summarize(run, options, { stopped, show });
    },
    close() {
      progress.close();
      removeListener();
    },
  };
}

/** Wraps prose, but not indented lines, which are table rows or commands. */
function wrappedProse(line: string): string {
  return line.startsWith('  ') ? line : wrapped(line, '  ');
}
