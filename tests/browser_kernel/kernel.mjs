// The page's maths, as one module: what the tests call by name.

export * from "../../js/core/attention.js";
export * from "../../js/core/float16.js";
export * from "../../js/core/head_numbers.js";
export * from "../../js/core/kernels.js";
export * from "../../js/core/matrices.js";
export * from "../../js/core/overview.js";
export * from "../../js/core/visibility.js";
