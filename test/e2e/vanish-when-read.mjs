// Loaded into every process of a run with NODE_OPTIONS=--import. While the file LOCMOE_TEST_VANISH exists, a snapshot is gone
// at the moment at which a worker opens the first file of its experts.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';

const { openSync } = fs;
fs.openSync = (file, ...rest) => {
  const isRead = /^\/dev\/shm\/.*-snapshots-.*\/experts/.test(file) && rest[0] !== 'w';
  if (isRead && fs.existsSync(process.env.LOCMOE_TEST_VANISH))
    fs.rmSync(path.dirname(file), { recursive: true, force: true });
  return openSync(file, ...rest);
};
if (process.argv[1]?.endsWith('worker/main.js')) syncBuiltinESMExports();
