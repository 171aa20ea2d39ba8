import { createRequire } from 'node:module';
import path from 'node:path';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import { TrainerError } from '../errors.js';
import { sha256 } from '../sha256.js';
import type { CommonMoe } from './common-fields.js';
import type { RouterPolicy } from './policy.js';

// A router of one's own is a file outside of this package. Configurations, checkpoints and the processes of a run know it by
// its path and the hash of its bytes, FILE#sha256=HASH; its code is never sent.

const MAX_BYTES = 2 ** 24;
const NAME = /^(.+)#sha256=([0-9a-f]{64})$/;
const IMPORTS = /\b(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g;

type Moe = CommonMoe & { readonly routerOptions: Readonly<Record<string, unknown>> };

const loaded = new Map<string, RouterPolicy<Moe>>();

/**
 * Finds the file that `moe.router` means: a path from `base`, a package's name, or a name that this function has returned.
 *
 * @returns FILE#sha256=HASH; null if it looks like no path and there is no such package
 * @throws TrainerError `BAD_CONFIG` if the file cannot be read
 */
export function ownRouterName(router: string, base: string): string | null {
  if (NAME.test(router)) return router;
  let file = path.resolve(base, router);
  if (!/^\.{0,2}\/|\.[cm]?js$/.test(router))
    try {
      file = createRequire(path.join(base, 'configuration')).resolve(router);
    } catch {
      return null;
    }
  return `${file}#sha256=${sha256(bytesOf(file))}`;
}

/**
 * Loads a router by the name that `ownRouterName` gave it, if the file has the bytes that it had then.
 *
 * @throws TrainerError `BAD_CONFIG` if it is missing or has changed, cannot be loaded or is no router
 */
export function ownRouterPolicy(name: string): RouterPolicy<Moe> {
  const known = loaded.get(name);
  if (known !== undefined) return known;
  const [, file, expected] = NAME.exec(name) ?? [];
  if (file === undefined) throw bad(name, 'is no router of this version, and no file');
  const bytes = sameBytes(file, expected!);
  // Node keeps what it has loaded from a file, whatever is in it now.
  if ([...loaded.keys()].some((other) => other.startsWith(`${file}#`)))
    throw bad(file, 'has changed since this process loaded it: start a new process');
  for (const [, from] of bytes.toString().matchAll(IMPORTS))
    if (from !== 'locmoe/routing' && !from!.startsWith('node:'))
      throw bad(
        file,
        `imports ${from}: a router is one file that imports locmoe/routing and Node's own modules alone`,
      );
  const policy = withOptions(policyIn(file));
  // Node has read the file again.
  sameBytes(file, expected!);
  loaded.set(name, policy);
  return policy;
}

/** @throws TrainerError `BAD_CONFIG` if this machine has other bytes of the router than the run; a built-in one has none */
export function assertSameRouter(name: string): void {
  const [, file, expected] = NAME.exec(name) ?? [];
  if (file !== undefined) sameBytes(file, expected!);
}

function policyIn(file: string): RouterPolicy<CommonMoe> {
  let exported: unknown;
  try {
    exported = createRequire(file)(file);
  } catch (error) {
    const [why] = String(error instanceof Error ? error.message : error).split('\n');
    throw bad(file, `cannot be loaded: ${why}`);
  }
  const policy = (exported as { readonly default?: Partial<RouterPolicy> } | null)?.default;
  if (typeof policy?.create !== 'function' || typeof policy.price !== 'function')
    throw bad(file, 'has no default export that defineRouter returned');
  return policy as RouterPolicy<CommonMoe>;
}

/** Gives the policy its own fields, which stand in `moe.routerOptions`, beside the common ones. */
function withOptions(policy: RouterPolicy<CommonMoe>): RouterPolicy<Moe> {
  const flat = (moe: Moe): Moe => ({ ...moe, ...moe.routerOptions });
  return {
    ...policy,
    rules: policy.rules.map((rule) => (moe, model) => {
      // Rules are given getters, which a spread would leave out: reading a faulty field throws.
      const seen: Moe = Object.assign(Object.create(moe), moe.routerOptions);
      const problem = rule(seen, model);
      return problem && problem.field in policy.fields
        ? { ...problem, field: `routerOptions.${problem.field}` }
        : problem;
    }),
    parameters: (moe, dModel) => policy.parameters(flat(moe), dModel),
    price: (moe, size) => policy.price(flat(moe), size),
    gateCosines: policy.gateCosines && ((moe, input) => policy.gateCosines!(flat(moe), input)),
    create: (context) => policy.create({ ...context, moe: flat(context.moe) }),
  };
}

function sameBytes(file: string, expected: string): Buffer {
  const bytes = bytesOf(file);
  const actual = sha256(bytes);
  if (actual !== expected) throw bad(file, `has SHA-256 ${actual} here, and ${expected} in the run`);
  return bytes;
}

function bytesOf(file: string): Buffer {
  try {
    return readRegularFile(file, MAX_BYTES);
  } catch (error) {
    throw bad(file, `cannot be read (${(error as Error).message})`);
  }
}

function bad(file: string, why: string): TrainerError {
  return new TrainerError('BAD_CONFIG', `router ${file} ${why}`);
}
