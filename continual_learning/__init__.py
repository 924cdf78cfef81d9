"""Class-incremental learning: classes come step by step, and a small memory stands for those before."""
