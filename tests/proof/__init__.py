"""The lease's arithmetic as a question to an SMT solver: can a deadline outlive its session?"""
