// `npm run lint`: the subjects of the newest commits must fit the 72 columns that `git log` and mail have for them.
import { spawnSync } from 'node:child_process';

const COMMITS = 50;
const COLUMNS = 72;

const { status, stdout } = spawnSync('git', ['log', '--no-merges', `-${COMMITS}`, '--format=%h %s'], {
  encoding: 'utf8',
});
// An unpacked archive has no history.
const subjects = status === 0 ? stdout.trim().split('\n') : [];
for (const line of subjects) {
  const subject = line.slice(line.indexOf(' ') + 1);
  if (subject.length <= COLUMNS) continue;
  console.error(`commit ${line}: a subject of ${subject.length} characters; at most ${COLUMNS}`);
  process.exitCode = 1;
}
