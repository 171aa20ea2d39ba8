/**
 * tfjs-node calls util.isArray and util.isNullOrUndefined, which Node 22 deprecates; users cannot change
 * that.
 */
const CODES_OF_TFJS: readonly unknown[] = ['DEP0044', 'DEP0051'];

/** Leaves out these warnings from now on. */
export function silenceTfjs(): void {
  const { emitWarning } = process;
  process.emitWarning = ((...args: Parameters<typeof emitWarning>) => {
    if (!args.some((each) => CODES_OF_TFJS.includes(each))) emitWarning.apply(process, args);
  }) as typeof emitWarning;
}
