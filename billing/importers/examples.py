"""One small file per kind, as a beginning for the operator's own."""

EXAMPLES = {
    "subscribers": """\
number,name,email,phone,address,language,country,currency,billing_day,delivery,tax_treatment,tax_number,note
1001,Anna Berg,anna@example.net,'+49 30 1234567,"Lindenweg 4
10115 Berlin",de,DE,EUR,1,mail,,,
1002,Backhaus GmbH,office@backhaus.example,,"Hafenstrasse 9, Hamburg",de,DE,EUR,,both,normal,DE136695976,2nd floor
1003,Carlos Ruiz,,,,es,ES,EUR,15,paper,,,
""",
    "services": """\
subscriber,login,password,plan,starts_on,paid_until,address,price,price_reason,contract_until,payer
1001,anna,correct-horse,Home 100,2023-03-17,2026-12-01,,,,,
1002,backhaus,battery-staple,Home 100,2024-06-01,2027-01-01,192.0.2.17,24.90,Agreed in 2024,2027-06-01,
1003,carlos,tinta-china,Home 100,2027-01-15,2027-01-15,,,,,1002
""",
    "products": """\
login,product,quantity,paid_until,price
anna,Static address,1,,
backhaus,Static address,4,2027-01-01,4.00
carlos,Router,,,
""",
    "balances": """\
subscriber,number,issued_on,due_on,amount
1001,2026-4711,2026-10-01,2026-10-15,29.99
1001,2026-5023,2026-11-01,2026-11-15,29.99
1002,,,,-12.50
""",
    "payments": """\
subscriber,invoice,amount,date,note,reference,method
1001,,29.99,2026-11-20,Berg October,,
,2026-5023,29.99,2026-11-21,,2026112100042,transfer
1003,,20.00,2026-11-22,At the counter,,cash
""",
}
"Kind -> CSV."
