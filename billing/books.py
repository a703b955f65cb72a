"""What must be true of the books, as one query per law: a query returns what breaks it.

Invariants of a double-entry ledger and of open-item accounting; the database's own triggers and constraints keep most
of them while rows are written, these find what got past them (a restore gone wrong, a hand in the tables).
"""

# Each query's columns fill the placeholders of its sentence.
LAWS: tuple[tuple[str, str], ...] = (
    (
        "Entry {source} does not sum to zero: {rest} {currency} are left.",
        "SELECT e.source, p.currency, sum(p.amount_minor) AS rest FROM posting p JOIN entry e ON e.id = p.entry_id "
        "GROUP BY e.source, p.currency HAVING sum(p.amount_minor) <> 0",
    ),
    (
        "Entry {source} has a posting to {account} that does not fit it: exactly receivables name a subscriber, in the "
        "subscriber's currency.",
        "SELECT e.source, p.account FROM posting p JOIN entry e ON e.id = p.entry_id "
        "LEFT JOIN subscriber s ON s.id = p.subscriber_id "
        "WHERE (p.account = 'receivable') <> (s.id IS NOT NULL) OR s.currency <> p.currency",
    ),
    (
        "Subscriber {number} owes {booked} by the ledger, but {open} by open invoices less unapplied payments.",
        "WITH booked AS (SELECT subscriber_id, sum(amount_minor) AS minor FROM posting "
        "  WHERE account = 'receivable' GROUP BY subscriber_id), "
        "items AS (SELECT subscriber_id, sum(minor) AS minor FROM ("
        "  SELECT subscriber_id, total_minor AS minor FROM invoice UNION ALL "
        "  SELECT i.subscriber_id, -a.amount_minor FROM allocation a JOIN invoice i ON i.id = a.invoice_id UNION ALL "
        "  SELECT subscriber_id, -amount_minor FROM payment UNION ALL "
        "  SELECT p.subscriber_id, a.amount_minor FROM allocation a JOIN payment p ON p.id = a.payment_id"
        ") item GROUP BY subscriber_id) "
        "SELECT s.number, coalesce(b.minor, 0) AS booked, coalesce(i.minor, 0) AS open FROM subscriber s "
        "LEFT JOIN booked b ON b.subscriber_id = s.id LEFT JOIN items i ON i.subscriber_id = s.id "
        "WHERE coalesce(b.minor, 0) <> coalesce(i.minor, 0)",
    ),
    (
        "Invoice {number} of {total} has payments of {applied} applied to it.",
        "SELECT i.number, i.total_minor AS total, sum(a.amount_minor) AS applied FROM invoice i "
        "JOIN allocation a ON a.invoice_id = i.id GROUP BY i.id HAVING sum(a.amount_minor) > i.total_minor",
    ),
    (
        "Payment {number} of {amount} is applied to invoices for {applied}.",
        "SELECT p.receipt_number AS number, p.amount_minor AS amount, sum(a.amount_minor) AS applied FROM payment p "
        "JOIN allocation a ON a.payment_id = p.id GROUP BY p.id HAVING sum(a.amount_minor) > p.amount_minor",
    ),
    (
        "Payment {receipt} is applied to invoice {number} wrongly: {applied} of another subscriber or currency, or of "
        "nothing.",
        "SELECT p.receipt_number AS receipt, i.number, a.amount_minor AS applied FROM allocation a "
        "JOIN payment p ON p.id = a.payment_id JOIN invoice i ON i.id = a.invoice_id "
        "WHERE a.amount_minor <= 0 OR p.subscriber_id <> i.subscriber_id OR p.currency <> i.currency",
    ),
    (
        "Invoice {number} does not add up: lines {lines}, net {net}, tax {tax}, total {total}.",
        "SELECT i.number, l.minor AS lines, i.net_minor AS net, i.tax_minor AS tax, i.total_minor AS total "
        "FROM invoice i LEFT JOIN LATERAL "
        "(SELECT sum(net_minor) AS minor FROM invoice_line WHERE invoice_id = i.id) l ON true, "
        "LATERAL (SELECT sum((t->>'net_minor')::bigint) AS net, sum((t->>'tax_minor')::bigint) AS tax "
        "FROM jsonb_array_elements(i.taxes) t) g "
        "WHERE (l.minor, i.net_minor + i.tax_minor, g.net, g.tax) "
        "IS DISTINCT FROM (i.net_minor, i.total_minor, i.net_minor, i.tax_minor)",
    ),
    (
        "{source} of {minor} on {day} is not booked as it stands: the ledger says {booked} on {booked_on}.",
        "WITH item AS (SELECT 'invoice:' || id AS source, subscriber_id, issued_on AS day, total_minor AS minor "
        "  FROM invoice UNION ALL "
        "  SELECT 'payment:' || id, subscriber_id, received_on, -amount_minor FROM payment), "
        "booked AS (SELECT e.source, e.day, p.subscriber_id, sum(p.amount_minor) AS minor FROM entry e "
        "  JOIN posting p ON p.entry_id = e.id AND p.account = 'receivable' GROUP BY e.id, p.subscriber_id) "
        "SELECT coalesce(i.source, b.source) AS source, i.minor, i.day, b.minor AS booked, b.day AS booked_on "
        "FROM item i FULL JOIN booked b ON b.source = i.source "
        "WHERE (i.subscriber_id, i.day, i.minor) IS DISTINCT FROM (b.subscriber_id, b.day, b.minor) "
        "AND (i.source IS NOT NULL OR b.source ~ '^(invoice|payment):')",
    ),
    (
        "Card payment {gateway_id} is recorded {times} times.",
        "SELECT gateway_id, count(*) AS times FROM payment WHERE gateway_id IS NOT NULL "
        "GROUP BY gateway_id HAVING count(*) > 1",
    ),
    (
        "Series {name} has given {given} numbers, but {found} documents carry one: numbers have a gap.",
        "SELECT kind.name, coalesce(s.last_number, 0) AS given, kind.found FROM ("
        "  SELECT 'invoice' AS name, count(*) AS found FROM invoice UNION ALL "
        "  SELECT 'receipt', count(*) FROM payment) kind LEFT JOIN series s ON s.name = kind.name "
        "WHERE coalesce(s.last_number, 0) <> kind.found",
    ),
)
