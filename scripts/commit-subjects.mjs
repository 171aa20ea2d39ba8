// `npm run lint`: the newest commits have subjects that fit the 72 columns that `git log` and mail leave them.
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
