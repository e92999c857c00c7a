/**
 * The token meter: how full the model's memory would be with the next question,
 * what fills it, and, when it is nearly full, the two ways to make room.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import {
  meterOf,
  shortTokens,
  type IMeter,
  type IMeterRow
} from '../../chat/meter';
import type {
  IQuota,
  IReachable,
  IReceipt,
  IUsageReport
} from '../../wire/types';
import { figure, moment } from '../figures';
import { MakeRoom } from '../MakeRoom';
import { whyOf } from '../reasons';
import { useDismiss } from './useDismiss';

/** A share of a quota from which on it is said in the colour of a warning. */
const NEARLY = 0.9;

export interface IMeterProps {
  trans: TranslationBundle;
  receipt: IReceipt;
  /** the question itself is more than the model or the server takes */
  tooLong: boolean;
  /** there is something to sum up, and nothing runs */
  canCompact: boolean;
  compact(): Promise<void>;
  newFromSummary(): Promise<void>;
  /** what the user asked today */
  usage(): Promise<IUsageReport>;
}

export function Meter(props: IMeterProps): JSX.Element {
  const { trans, receipt, tooLong } = props;
  const meter = React.useMemo(() => meterOf(receipt), [receipt]);
  const [open, setOpen] = React.useState(false);
  const root = React.useRef<HTMLDivElement>(null);
  const close = React.useCallback(() => setOpen(false), []);
  useDismiss(root, open, close);
  const share = tooLong ? 1 : meter.share;
  const percent = Math.round(share * 100);
  const label = tooLong
    ? trans.__('This is more than the model can read')
    : trans.__(
        'Context: %1 of %2 tokens (%3%)',
        figure(meter.used),
        figure(meter.budget),
        percent
      );
  return (
    <div
      className={`jp-Cellar-meter jp-mod-${tooLong ? 'full' : meter.level}`}
      ref={root}
    >
      <button
        type="button"
        className="jp-Cellar-meterButton"
        aria-expanded={open}
        aria-haspopup="dialog"
        aria-label={label}
        title={label}
        onClick={() => setOpen(!open)}
      >
        <Ring share={share} />
        <span aria-hidden="true">{tooLong ? '>100%' : `${percent}%`}</span>
      </button>
      {open ? <Breakdown {...props} meter={meter} close={close} /> : null}
    </div>
  );
}

/** Length of a circle of radius 6. */
const ROUND = 2 * Math.PI * 6;

function Ring({ share }: { share: number }): JSX.Element {
  return (
    <svg className="jp-Cellar-ring" viewBox="0 0 16 16" aria-hidden="true">
      <circle cx="8" cy="8" r="6" className="jp-Cellar-ringBack" />
      <circle
        cx="8"
        cy="8"
        r="6"
        className="jp-Cellar-ringFront"
        strokeDasharray={`${ROUND * share} ${ROUND}`}
        transform="rotate(-90 8 8)"
      />
    </svg>
  );
}

function rowName(trans: TranslationBundle, row: IMeterRow): string {
  switch (row.kind) {
    case 'system':
      return trans.__('Instructions to the model');
    case 'rules':
      return trans.__('Project rules: %1', row.label);
    case 'summary':
      return trans.__('Summary of earlier turns');
    case 'history':
      return trans.__('Conversation so far');
    case 'question':
      return trans._p('meter', 'Your question');
    case 'answer':
      return trans.__('Kept for the answer');
    case 'free':
      return trans.__('Free');
    default:
      return row.label;
  }
}

function rowNote(trans: TranslationBundle, row: IMeterRow): string {
  switch (row.state) {
    case 'unchanged':
      return trans.__('sent before, unchanged');
    case 'changes':
      return trans.__('only what changed');
    case 'cut':
      return row.leftOut
        ? trans.__('%1 cut', shortTokens(row.leftOut))
        : trans.__('cut');
    case 'left_out':
      return row.leftOut
        ? trans.__('left out: %1 tokens do not fit', shortTokens(row.leftOut))
        : trans.__('left out: does not fit');
    case 'unreadable':
      return trans.__('cannot be read');
    default:
      return '';
  }
}

function Breakdown(
  props: IMeterProps & { meter: IMeter; close(): void }
): JSX.Element {
  const { trans, meter, receipt, tooLong } = props;
  // The receipt is of what was typed before, and nobody counted what is too long.
  const rows = tooLong
    ? meter.rows.filter(row => row.kind !== 'question' && row.kind !== 'free')
    : meter.rows;
  return (
    <div
      className="jp-Cellar-breakdown"
      role="dialog"
      aria-label={trans.__('What fills the context')}
    >
      <table>
        <tbody>
          {rows.map((row, index) => (
            <Row key={index} trans={trans} row={row} budget={meter.budget} />
          ))}
        </tbody>
      </table>
      {tooLong ? (
        <p className="jp-Cellar-breakdownNote jp-mod-warn">
          {trans.__('This is more than the model can read')}.
        </p>
      ) : null}
      <p className="jp-Cellar-breakdownNote">
        {trans.__('The model reads %1 tokens.', figure(receipt.context_length))}{' '}
        {meter.exact
          ? trans.__('Counted by the model server.')
          : trans.__('Estimated.')}
      </p>
      {meter.leftOutTurns > 0 ? (
        <p className="jp-Cellar-breakdownNote jp-mod-warn">
          {trans._n(
            '%1 earlier turn no longer fits and is left out.',
            '%1 earlier turns no longer fit and are left out.',
            meter.leftOutTurns
          )}
        </p>
      ) : null}
      <Today {...props} />
      <MakeRoom {...props} />
    </div>
  );
}

/** The user's own use, read when the breakdown opens; nothing when it cannot be read. */
function Today({ trans, usage }: IMeterProps): JSX.Element | null {
  const read = React.useRef(usage);
  const [use, setUse] = React.useState<IUsageReport | null>(null);
  React.useEffect(() => {
    let late = false;
    read.current().then(
      report => late || setUse(report),
      () => undefined
    );
    return () => {
      late = true;
    };
  }, []);
  return use ? (
    <>
      <p className="jp-Cellar-breakdownNote">
        {trans._n(
          'Today: %1 question, %2 tokens read, %3 written.',
          'Today: %1 questions, %2 tokens read, %3 written.',
          use.turns_today,
          figure(use.prompt_today),
          figure(use.completion_today)
        )}
      </p>
      {(use.quotas ?? []).map(quota => (
        <Quota key={quota.window} trans={trans} quota={quota} />
      ))}
      <Destinations trans={trans} destinations={use.destinations ?? []} />
    </>
  ) : null;
}

function Quota(props: {
  trans: TranslationBundle;
  quota: IQuota;
}): JSX.Element {
  const { trans, quota } = props;
  const used = figure(Math.min(quota.used, quota.limit));
  const limit = figure(quota.limit);
  const again = moment(quota.resets_at);
  const full = quota.used >= quota.limit * NEARLY;
  return (
    <p className={`jp-Cellar-breakdownNote ${full ? 'jp-mod-warn' : ''}`}>
      {quota.window === 'day'
        ? trans.__(
            'Your quota of today: %1 of %2 tokens used; anew at %3.',
            used,
            limit,
            again
          )
        : trans.__(
            'Your quota of this month: %1 of %2 tokens used; anew at %3.',
            used,
            limit,
            again
          )}
    </p>
  );
}

/** What the workspace may reach in the building, and what of it nothing serves. */
function Destinations(props: {
  trans: TranslationBundle;
  destinations: IReachable[];
}): JSX.Element {
  const { trans, destinations } = props;
  const named = (ready: boolean) =>
    destinations
      .filter(each => (each.ready ?? true) === ready)
      .map(each => `${each.name}:${each.port}`)
      .join(', ');
  const open = named(true);
  const shut = named(false);
  return (
    <>
      {open ? (
        <p className="jp-Cellar-breakdownNote">
          {trans.__('From this workspace you may reach: %1.', open)}
        </p>
      ) : null}
      {shut ? (
        <p className="jp-Cellar-breakdownNote jp-mod-warn">
          {trans.__(
            'Yours, but not reachable now: %1. Please tell your administrator.',
            shut
          )}
        </p>
      ) : null}
    </>
  );
}

function Row(props: {
  trans: TranslationBundle;
  row: IMeterRow;
  budget: number;
}): JSX.Element {
  const { trans, row, budget } = props;
  const note = rowNote(trans, row);
  const name = rowName(trans, row);
  const share = budget > 0 ? Math.min(100, (row.tokens / budget) * 100) : 0;
  return (
    <tr className={`jp-mod-${row.kind}`}>
      <th scope="row" title={(row.part && whyOf(trans, row.part)) || name}>
        <span className="jp-Cellar-breakdownName">{name}</span>
        {note ? <small>{note}</small> : null}
      </th>
      <td className="jp-Cellar-breakdownBar" aria-hidden="true">
        <span style={{ width: `${share}%` }} />
      </td>
      <td className="jp-Cellar-breakdownTokens">{figure(row.tokens)}</td>
    </tr>
  );
}
