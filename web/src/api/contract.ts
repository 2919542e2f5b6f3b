// The bodies of the API under the names that the page uses. They come from schema.d.ts, which `tools/web.sh types` generates from the
// server's own description; a body that changes there fails the type check here.
import type { components } from "./schema";

type Schemas = components["schemas"];

export type SessionAnswer = Schemas["SessionReply"];
export type Category = Schemas["CategoryReply"];
export type CaseAnswer = Schemas["CaseReply"];
export type Settings = Required<Schemas["Settings"]>;
export type Progress = Schemas["ProgressReply"];
export type ViewAnswer = Schemas["ViewReply"];
/** Words of a filter that the server keeps. */
export type Kept = Schemas["KeptReply"];
/** Columns of rows [from, from + n). */
export type Rows = Schemas["RowsReply"];
export type ItemAnswer = Schemas["ItemReply"];
export type DecisionAnswer = Schemas["DecidedReply"];
export type UndoAnswer = Schemas["TurnReply"];
export type Preview = Schemas["PreviewReply"];
export type Mine = Schemas["MyDecision"];
export type Facets = Record<string, Schemas["FacetValue"][]>;
export type TimelineAnswer = Schemas["TimelineReply"];
export type PlacesAnswer = Schemas["PlacesReply"];
export type ProblemsAnswer = Schemas["ProblemsReply"];
export type ExposureAnswer = Schemas["ExposureReply"];
export type ExposureSums = Schemas["DaySums"];
export type ExportAnswer = Schemas["ExportReply"];
/** How a refusal stands in an answer. */
export type Refusal = Schemas["Error"];
/** What a decision says. */
export type Wish = Schemas["Wish"];
export type ServerFilter = Schemas["Filter"];
