import { z } from 'zod';
import { asTrainerError, TrainerError } from '../errors.js';
import { isBuiltInRouter, moeSchema, routerPolicy } from '../routing/index.js';
import { ownRouterName, trustRouter } from '../routing/own/router-file.js';
import type { ConfigSource, Named } from './document.js';
import { fieldOf, withFields } from './fields.js';

interface NamedRouter extends Named {
  /** Mistakes in `moe.routerOptions`. */
  readonly issues: readonly z.core.$ZodIssue[];
}

/**
 * If `moe.router` is a file or a package, makes its path absolute, adds the hash of its bytes and checks
 * `moe.routerOptions` against the router's own fields.
 *
 * @param base folder of the configuration file; a path given by `--set` is relative to the working folder
 */
export function nameRouter(value: unknown, source: ConfigSource, base: string): NamedRouter {
  const moe = fieldOf(value, 'moe');
  const router = fieldOf(moe, 'router');
  const asWritten = { value, problems: [], issues: [] };
  const filled = (fields: object) => withFields(value, 'moe', fields);
  if (router === undefined || (typeof router === 'string' && isBuiltInRouter(router))) {
    const [option] = Object.keys(fieldOf(moe, 'routerOptions') ?? {});
    if (option === undefined) return asWritten;
    const message = 'only a router by file has options; those of the built-in routers are fields of moe';
    return {
      value: filled({ routerOptions: {} }),
      problems: [{ path: ['moe', 'routerOptions', option], message }],
      issues: [],
    };
  }
  if (typeof router !== 'string') return asWritten;
  try {
    const isNamedByUser = source.isOverridden(['moe', 'router']);
    const name = ownRouterName(router, isNamedByUser ? process.cwd() : base);
    if (name === null) return asWritten;
    if (isNamedByUser) trustRouter(name);
    const { fields } = routerPolicy(name);
    const clash = Object.keys(fields).find((field) => field in moeSchema.shape);
    if (clash !== undefined)
      throw new TrainerError(
        'BAD_CONFIG',
        `router ${router} has a field ${clash}, which is a field of moe already`,
      );
    const options = z
      .strictObject(fields)
      .safeParse(fieldOf(moe, 'routerOptions') ?? {}, { reportInput: true });
    return {
      value: filled({ router: name, routerOptions: options.data ?? {} }),
      problems: [],
      issues:
        options.error?.issues.map((issue) => ({ ...issue, path: ['moe', 'routerOptions', ...issue.path] })) ??
        [],
    };
  } catch (error) {
    const { message } = asTrainerError(error);
    // A built-in router stands in for the faulty one, so that one mistake gives only one message.
    const rest = filled({ router: 'hash', routerOptions: {} });
    return { value: rest, problems: [{ path: ['moe', 'router'], message }], issues: [] };
  }
}
