/** Whether the long tests run too, for which others stand by day (LOCMOE_NIGHTLY=1, as in .github/workflows/nightly.yml). */
export const NIGHTLY = process.env.LOCMOE_NIGHTLY !== undefined;
