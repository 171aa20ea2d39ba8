/**
 * Whether the long tests run too, for which shorter ones stand by day (LOCMOE_NIGHTLY=1, set in
 * .github/workflows/nightly.yml).
 */
export const NIGHTLY = process.env.LOCMOE_NIGHTLY !== undefined;
