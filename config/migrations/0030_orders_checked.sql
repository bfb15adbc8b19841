-- Looks at the orders that there were before 0029, in a transaction of its own: it locks out no reader and no writer.
ALTER TABLE orders VALIDATE CONSTRAINT orders_check;
