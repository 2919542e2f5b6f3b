// How orders of the queue reach the server.
import { ApiError, type Client, type Decide } from "../api/client";
import type { UndoAnswer } from "../api/contract";
import type { Answer } from "../logic/queue";

/**
 * Save decisions in one request, all or none. When one of them is refused they are saved one by one up to that one, so that a single
 * refusal does not hold up the others.
 */
export async function saveAll(client: Client, decisions: Decide[]): Promise<(Answer | Error)[]> {
  if (decisions.length > 1) {
    try {
      const answers = await client.decideBatch(decisions);
      return answers.map((a) => ("error" in a ? new ApiError(409, a.error, a.message, a.todo) : a));
    } catch (error) {
      if (!(error instanceof ApiError) || error.status < 400 || error.status >= 500) throw error;
    }
  }
  const answers: (Answer | Error)[] = [];
  for (const decision of decisions) {
    try {
      answers.push(answers.some((a) => a instanceof Error) ? new Error("not tried") : await client.decide(decision));
    } catch (error) {
      if (answers.length === 0) throw error;
      answers.push(error instanceof Error ? error : new Error(String(error)));
    }
  }
  return answers;
}

/** That there is nothing to undo is an answer, no failure. */
export async function orNothing(asked: Promise<UndoAnswer>): Promise<Answer> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 409))
      return { event: null, contents: 0 };
    throw error;
  }
}
