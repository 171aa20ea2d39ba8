import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TrainerError } from '../../errors.js';
import { PRIVATE_FOLDER } from '../../os/make-folder.js';
import { endable } from '../../os/on-signals.js';
import { removeAbandoned, workMark } from '../../os/work-folder.js';
import type { CommonMoe } from '../common-fields.js';
import { defineRouter, type MoeRule, type RouterPolicy } from '../policy.js';
import { problemOfRule } from '../rules/rule-problems.js';
import { createByPolicy } from '../rules/rule-router.js';
import { COPY, checkedRouter, guarded } from './checked-router.js';
import { assertMayRun, badRouter, noRouter } from './router-file.js';

const IMPORTS = /\b(?:from|import|require)\s*\(?\s*['"]([^'"]+)['"]/g;
const PACKAGE = fileURLToPath(new URL('../../..', import.meta.url));

type Moe = CommonMoe & { readonly routerOptions: Readonly<Record<string, unknown>> };

const loaded = new Map<string, RouterPolicy<Moe>>();

/**
 * Loads a router by the name from `ownRouterName`, if the file still has the same bytes.
 *
 * @throws TrainerError `BAD_CONFIG` as `assertMayRun`, or if it cannot be loaded or is not a router
 */
export function ownRouterPolicy(name: string): RouterPolicy<Moe> {
  const known = loaded.get(name);
  if (known !== undefined) return known;
  const found = assertMayRun(name);
  if (found === null) throw noRouter(name);
  const { file, bytes } = found;
  for (const [, from] of bytes.toString().matchAll(IMPORTS))
    if (from !== 'locmoe/routing' && !from!.startsWith('node:'))
      throw badRouter(
        file,
        `imports ${from}: a router is one file that imports locmoe/routing and Node's own modules alone`,
      );
  const policy = checkedPolicy(policyIn(file, bytes), (why) => badRouter(file, why));
  loaded.set(name, policy);
  return policy;
}

/**
 * Loads the bytes from a private copy, as the file may have changed since they were hashed. Its imports from
 * locmoe resolve to this package, and not to what is beside the file.
 */
function policyIn(file: string, bytes: Buffer): RouterPolicy<CommonMoe> {
  const folder = path.join(tmpdir(), COPY + workMark());
  const copy = path.join(folder, path.basename(file));
  let exported: unknown;
  try {
    removeAbandoned(tmpdir(), COPY);
    mkdirSync(path.join(folder, 'node_modules'), { recursive: true, mode: PRIVATE_FOLDER });
    symlinkSync(PACKAGE, path.join(folder, 'node_modules/locmoe'));
    // Without this file, Node would read the package.json of a parent folder, which another user may have named locmoe.
    writeFileSync(path.join(folder, 'package.json'), '{}');
    writeFileSync(copy, bytes);
    exported = endable(() => createRequire(copy)(copy) as unknown);
  } catch (error) {
    const [why] = String(error instanceof Error ? error.message : error).split('\n');
    throw badRouter(file, `cannot be loaded: ${why}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const policy = (exported as { readonly default?: Partial<RouterPolicy> } | null)?.default;
  if (typeof policy?.create !== 'function' && typeof policy?.rule !== 'function')
    throw badRouter(file, 'has no default export that defineRouter returned');
  return defineRouter(policy as RouterPolicy);
}

/**
 * Passes the policy its own fields, which are in `moe.routerOptions`, together with the common ones, and checks what it
 * returns. Its rule is checked with the rules of its fields, so that a wrong one ends a command before training.
 */
function checkedPolicy(its: RouterPolicy, blame: (why: string) => TrainerError): RouterPolicy<Moe> {
  const policy = guarded(its, blame);
  const flat = (moe: Moe): Moe => ({ ...moe, ...moe.routerOptions });
  const problemIn = guarded({ rule: problemOfRule }, blame).rule;
  const hasFields = Object.keys(policy.fields).length > 0;
  const rules = policy.rules.map((rule) => guarded({ rule }, blame).rule);
  const isWhole: MoeRule<Moe> = (moe, model) => {
    // Wrong options, which are empty here, and broken rules of the fields are reported by themselves.
    const areWrong = hasFields && Object.keys(moe.routerOptions).length === 0;
    if (areWrong || rules.some((rule) => rule(moe, model) !== undefined)) return undefined;
    const { dModel } = model;
    const rule = policy.rule(moe, dModel);
    const isDerived = policy.create === null;
    if (rule === null && isDerived) throw blame('has neither a rule here nor a function create');
    const problem = rule && problemIn(rule, policy.parameters(moe, dModel), moe, dModel, isDerived);
    if (problem !== null) throw blame(`has a wrong rule: it ${problem}`);
    return undefined;
  };
  return {
    ...policy,
    rules: [...rules, isWhole].map((rule) => (moe, model) => {
      // Rules get an object with getters, which a spread would lose: reading a faulty field throws.
      const seen: Moe = Object.assign(Object.create(moe), moe.routerOptions);
      const problem = rule(seen, model);
      return problem && problem.field in policy.fields
        ? { ...problem, field: `routerOptions.${problem.field}` }
        : problem;
    }),
    parameters: (moe, dModel) => policy.parameters(flat(moe), dModel),
    rule: (moe, dModel) => policy.rule(flat(moe), dModel),
    hints: (moe) => policy.hints?.(flat(moe)) ?? {},
    create: (context) => {
      const own = { ...context, moe: flat(context.moe) };
      return checkedRouter(createByPolicy(policy, own), own, blame);
    },
  };
}
