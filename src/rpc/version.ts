import { readFileSync } from 'node:fs';

const packageFile = new URL('../../package.json', import.meta.url);

/** Version of this package. Nodes and coordinator must run the same one, as they share more than the protocol. */
export const VERSION: string = JSON.parse(readFileSync(packageFile, 'utf8')).version;
