// `npm run proto`: writes src/rpc/generated, the types of all messages and services of proto/. With --check, as
// `npm run lint` calls it, writes nothing and fails if those files are stale.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const GENERATED = path.join(ROOT, 'src/rpc/generated');
const TOOL = 'node_modules/@grpc/proto-loader/build/bin/proto-loader-gen-types.js';

/** The options that load-proto.ts also gives @grpc/proto-loader. `X` is a received message, `XInput` one to send. */
const OPTIONS = [
  '--longs=Number',
  '--enums=String',
  '--defaults',
  '--oneofs',
  '--includeComments',
  '--grpcLib=@grpc/grpc-js',
  '--importFileExtension=.js',
  '--outputTemplate=%s',
  '--inputTemplate=%sInput',
];

function generate(folder) {
  const files = readdirSync(path.join(ROOT, 'proto')).map((file) => `proto/${file}`);
  const tool = [TOOL, ...OPTIONS, `--outDir=${folder}`, ...files];
  const { status, stderr } = spawnSync(process.execPath, tool, { cwd: ROOT, encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm run proto: ${stderr.trim()}`);
  for (const file of typeScriptIn(folder)) {
    const at = path.join(folder, file);
    writeFileSync(at, refined(readFileSync(at, 'utf8'), file));
  }
  const messages = typeScriptIn(folder).filter((file) => file.startsWith('locmoe/'));
  const lines = messages.map((file) => `export type * from './${file.replace(/\.ts$/, '.js')}';\n`);
  writeFileSync(path.join(folder, 'messages.ts'), lines.join(''));
}

function typeScriptIn(folder) {
  const files = readdirSync(folder, { recursive: true });
  return files.filter((file) => file.endsWith('.ts')).sort();
}

const COMMENT = /^ *\/\*\*\n(?: *\*(?!\/).*\n)* *\*\/\n/gm;
const SENT_MESSAGE = new RegExp(`(?:${COMMENT.source})?^export interface \\w+Input \\{\\n[^]*?^\\}`, 'gm');

/**
 * Corrects a generated file. The tool declares the members of a oneof as optional fields, but a received message has
 * exactly one of them. For files without services it writes an unused import and type, which the compiler rejects.
 */
function refined(given, file) {
  // A message to send has the same fields as the received one, which keeps the comments.
  const source = given.replace(SENT_MESSAGE, (declaration) => declaration.replaceAll(COMMENT, ''));
  if (source.includes('type SubtypeConstructor<') && !source.includes('SubtypeConstructor<typeof'))
    return source
      .replace(/^import type \* as grpc.*\n/, '')
      .replace(/^type SubtypeConstructor<[\s\S]*?^};\n\n/m, '');
  let hasOneOf = false;
  const text = source.replace(/^export interface (\w+) \{\n([^}]*)\n\}$/gm, (declaration, name, fields) => {
    const [, oneOf] = /^ {2}'([a-z]\w*)'\?: "[^;]*;$/m.exec(fields) ?? [];
    if (oneOf === undefined || name.endsWith('Input')) return declaration;
    hasOneOf = true;
    return `export type ${name} = OneOf<${name}Fields, '${oneOf}'>;\n\ninterface ${name}Fields {\n${fields}\n}`;
  });
  const up = '../'.repeat(file.split('/').length);
  return hasOneOf ? `import type { OneOf } from '${up}one-of.js';\n${text}` : text;
}

/** Returns the names and contents of a folder's files, for comparison. */
const contentsOf = (folder) =>
  typeScriptIn(folder).map((file) => [file, readFileSync(path.join(folder, file), 'utf8')]);

const fresh = mkdtempSync(path.join(tmpdir(), 'locmoe-proto-'));
try {
  generate(fresh);
  if (process.argv[2] !== '--check') {
    rmSync(GENERATED, { recursive: true, force: true });
    cpSync(fresh, GENERATED, { recursive: true });
  } else if (JSON.stringify(contentsOf(fresh)) !== JSON.stringify(contentsOf(GENERATED)))
    throw new Error('src/rpc/generated is not what proto/ says: run `npm run proto`');
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(fresh, { recursive: true });
}
